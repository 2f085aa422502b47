/** What the gateway is told by its environment, whether it is one node of the bench or its own program. */
import type { NodeSurroundings } from './peers.ts'
import { SECRET } from './tokens.ts'

/** Without its ports, and without the real services beside it. */
export function gatewayEnvironment ({ node, bearer, services }: Pick<NodeSurroundings, 'node' | 'bearer' | 'services'>): Record<string, string> {
  return {
    GATEWAY_NODE_ID: node,
    WS_HOST: '127.0.0.1',
    GRPC_HOST: '127.0.0.1',
    GRPC_AUTH_TOKEN: bearer,
    AUTH_MODE: 'local',
    JWT_SECRET: SECRET,
    IM_SERVICE_ADDR: services,
    USER_SERVICE_ADDR: services,
    HANDSHAKE_LIMITER: 'local',
    MAX_PENDING_HANDSHAKES_PER_IP: '1000',
    HANDSHAKES_PER_IP: '0',
    HANDSHAKES_PER_USER: '0'
  }
}
