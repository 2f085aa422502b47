/** The one subprotocol that a gateway speaks (RFC 6455 section 1.9). */
export const SUBPROTOCOL = 'im.v1.json'
