/**
 * ESLint rule `house/direction`: three roots, one direction (CONTRIBUTING.md).
 *
 *   routes/   may use src and Fastify
 *   plugins/  may use src and client libraries
 *   src/      may use itself, node: builtins and libraries without I/O
 *
 * src/app.ts, src/main.ts and, for several workers, src/primary.ts and src/worker.ts alone put the three together. What is only imported as a type counts as well: a type of
 * a client library in the core is a client library in the core.
 */
import { dirname, join, relative, sep } from 'node:path'

/** Libraries without I/O. Whoever adds one vouches for that. */
const PURE = ['@bufbuild/protobuf', 'cockatiel', 'env-schema', 'fast-jwt', 'lru-cache', 'secure-json-parse', 'typebox']
/** Clocks, timers and processes reach the core through its ports. */
const CORE_BUILTINS_REFUSED = ['node:child_process', 'node:cluster', 'node:dgram', 'node:dns', 'node:http', 'node:http2', 'node:https', 'node:net', 'node:timers', 'node:tls', 'node:worker_threads']
/** What needs no socket although it lives beside them. */
const PURE_NAMES = { 'node:net': ['isIP', 'isIPv4', 'isIPv6', 'BlockList', 'SocketAddress'] }
/** What routes/ reaches through decorators only. */
const CLIENTS = ['@fastify/redis', '@grpc/grpc-js', '@grpc/proto-loader', '@grpc/reflection', 'etcd3', 'grpc-health-check', 'ioredis', 'kafkajs', 'mysql2', 'prom-client']
const ASSEMBLY = ['src/app.ts', 'src/main.ts', 'src/primary.ts', 'src/worker.ts']
const PRODUCT = ['src', 'plugins', 'routes']
/** Which roots a root may import from. */
const ALLOWED = { src: ['src'], plugins: ['plugins', 'src'], routes: ['routes', 'src'] }

const rule = {
  meta: {
    type: 'problem',
    schema: [{ type: 'object', properties: { root: { type: 'string' } }, required: ['root'], additionalProperties: false }],
    messages: {
      root: '{{from}} may not import {{to}}: the direction is routes → src ← plugins, and src/app.ts, main.ts, primary.ts and worker.ts alone put them together',
      assembly: '{{to}} puts the program together and is imported by nothing of it',
      library: '{{from}} may not import {{name}}: the core uses node: builtins and libraries without I/O; what opens channels, files or sockets lives in plugins/',
      client: 'routes may not import {{name}}: a route reaches the outside world through decorators',
      computed: 'an import whose name is computed hides where it leads'
    }
  },
  create (context) {
    const [{ root }] = context.options
    const file = relative(root, context.filename).split(sep).join('/')
    const from = file.split('/')[0]
    if (!PRODUCT.includes(from)) return {}
    const assembly = ASSEMBLY.includes(file)

    function check (node, name) {
      const problem = name.startsWith('.') ? checkPath(name) : checkPackage(node, name)
      if (problem) context.report({ node, ...problem })
    }

    function checkPath (name) {
      const target = relative(root, join(dirname(context.filename), name)).split(sep).join('/')
      const to = target.split('/')[0]
      if (ASSEMBLY.includes(target.replace(/\.js$/, '.ts'))) return assembly ? undefined : { messageId: 'assembly', data: { to: target } }
      const allowed = assembly ? PRODUCT : ALLOWED[from]
      // package.json and the like may be read by all; a folder above the project never.
      if (allowed.includes(to) || (!target.startsWith('..') && !target.includes('/'))) return undefined
      return { messageId: 'root', data: { from: `${from}/`, to: target } }
    }

    function checkPackage (node, name) {
      if (assembly) return undefined
      const library = packageOf(name)
      if (from === 'src') {
        const fine = library.startsWith('node:') ? !CORE_BUILTINS_REFUSED.includes(library) : PURE.includes(library)
        return fine || importsOnly(node, PURE_NAMES[library]) ? undefined : { messageId: 'library', data: { from: 'src/', name: library } }
      }
      if (from === 'routes' && CLIENTS.includes(library)) return { messageId: 'client', data: { name: library } }
      return undefined
    }

    return {
      ImportDeclaration: (node) => check(node, node.source.value),
      ExportAllDeclaration: (node) => check(node, node.source.value),
      ExportNamedDeclaration: (node) => { if (node.source) check(node, node.source.value) },
      TSImportType: (node) => check(node, node.source?.value ?? node.argument.literal.value),
      TSExternalModuleReference: (node) => check(node, node.expression.value),
      ImportExpression: (node) => literal(node, node.source),
      CallExpression: (node) => {
        if (node.callee.type === 'Identifier' && node.callee.name === 'require') literal(node, node.arguments[0])
      }
    }

    function literal (node, source) {
      if (source?.type === 'Literal' && typeof source.value === 'string') check(node, source.value)
      else context.report({ node, messageId: 'computed' })
    }
  }
}

/** `@scope/name/path` → `@scope/name`; a builtin keeps its `node:` and loses its path. */
function packageOf (name) {
  const parts = name.split('/')
  return name.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]
}

function importsOnly (node, names) {
  return node.type === 'ImportDeclaration' && names !== undefined && node.specifiers.length > 0 &&
    node.specifiers.every((specifier) => specifier.type === 'ImportSpecifier' && names.includes(specifier.imported.name))
}

export default { rules: { direction: rule } }
