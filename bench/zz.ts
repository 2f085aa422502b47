import { World } from './lib/world.ts'
import { PEERS } from './lib/peers.ts'
import { readFileSync } from 'node:fs'
const what = process.argv[2]; const depth = Number(process.argv[4] ?? 60)
const world = await new World().start()
await world.with(PEERS.find((p) => p.name === (process.argv[3] ?? 'im-gateway'))!, false, async ({ server, load }) => {
  if (what === 'S8') { await load.churn(3000, 50); await server.ask('profile'); const c = server.cpuUs; await load.churn(8000, 50); console.log((server.cpuUs - c) / 8000) }
  if (what === 'S3') { world.services.members = 5000; await load.open(5000); let n = 0; const go = async (k: number) => { for (let i = 0; i < k; i++) { await server.ask('broadcast', 1); n += 5000; await load.awaitData(n, 9000) } }; await go(20); await server.ask('profile'); await go(60) }
  if (what === 'S6') { await load.open(500); await load.closedLoop(4, 2000); await server.ask('profile'); await load.closedLoop(4, 4000) }
  await server.ask('profiled', '/tmp/p.cpuprofile')
})
const prof = JSON.parse(readFileSync('/tmp/p.cpuprofile', 'utf8'))
const byId = new Map<number, any>(prof.nodes.map((n: any) => [n.id, n]))
for (const n of prof.nodes) for (const c of n.children ?? []) byId.get(c).parent = n
const self = new Map<string, number>(); const cum = new Map<string, number>(); let total = 0
const nameOf = (n: any) => `${n.callFrame.functionName || '(anon)'} ${n.callFrame.url.split('/').slice(-3).join('/')}:${n.callFrame.lineNumber + 1}`
prof.samples.forEach((id: number, i: number) => {
  const n = byId.get(id); const dt = prof.timeDeltas[i]
  if (n.callFrame.functionName === '(idle)') return
  total += dt; self.set(nameOf(n), (self.get(nameOf(n)) ?? 0) + dt)
  const seen = new Set<string>()
  for (let p = n; p; p = p.parent) { const k = nameOf(p); if (!seen.has(k)) { seen.add(k); cum.set(k, (cum.get(k) ?? 0) + dt) } }
})
console.log('SELF', total / 1e6); for (const [k, v] of [...self].sort((a, b) => b[1] - a[1]).slice(0, depth)) console.log((v / total * 100).toFixed(1).padStart(5), k)
console.log('CUMULATIVE'); for (const [k, v] of [...cum].sort((a, b) => b[1] - a[1]).slice(0, depth)) console.log((v / total * 100).toFixed(1).padStart(5), k)
for (const want of ['NodeError', 'GatewayError', 'memoryUsage', 'nextTick', '(garbage collector)']) { const by = new Map<string, number>(); prof.samples.forEach((id: number, i: number) => { const n = byId.get(id); if (n.callFrame.functionName !== want) return; const chain = []; for (let p = n.parent, k = 0; p && k < 4; p = p.parent, k++) chain.push(nameOf(p)); const key = chain.join(' < '); by.set(key, (by.get(key) ?? 0) + prof.timeDeltas[i]) }); console.log(want); for (const [k, v] of [...by].sort((a, b) => b[1] - a[1]).slice(0, 6)) console.log('   ', (v / total * 100).toFixed(2), k) }
process.exit()
