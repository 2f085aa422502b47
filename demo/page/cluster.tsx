/** The nodes and who is connected to them, what can befall them, how long messages take, and what happened. */
import { Chart } from './chart.tsx'
import { graphOption, latencyOption } from './charts.ts'
import { millis } from './messages.tsx'
import type { Room } from './room.ts'
import { currentPalette, currentTheme } from './theme.ts'

/** How often the latency is drawn anew. */
const LATENCY_STEP_MS = 500
const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })

export function Cluster ({ room }: { readonly room: Room }) {
  const { live, people } = room
  const names = people.map(({ name }) => name)
  const palette = currentPalette()
  const nowMs = performance.now()
  const look = `${currentTheme()} ${palette.surface} ${String(palette.isStill)}`
  const medianOf = (kind: 'accepted' | 'received'): string => {
    const median = room.latency.median(kind, nowMs)
    return median === undefined ? '–' : millis(median)
  }
  return (
    <aside class='cluster' id='cluster' tabIndex={-1} aria-labelledby='cluster-title'>
      <h2 id='cluster-title'>Cluster {!room.isLive && <span class='stale'>the demo does not answer</span>}</h2>
      <Chart
        name='graph' label={`${live.nodes.length} nodes and the connections of ${live.devices.length} devices; the list below says the same`}
        version={`${JSON.stringify([live, names])} ${look}`} option={(width) => graphOption({ live, people: names, palette, width })}
      />
      <ul class='nodes'>
        {live.nodes.map(({ id, state, address }, i) => (
          <li key={id}>
            <span class='dot' data-state={state} aria-hidden='true' />
            <span class='node' title={address}><b>Node {i + 1}</b> <span class='words'>{state}{state === 'up' && ` · ${usersOn(room, id)}`}</span></span>
            <button type='button' aria-disabled={state !== 'up'} title='SIGTERM: clients are told, and leave in good order' onClick={() => { room.nodeFault(id, 'drain') }}>Drain<span class='hidden'> node {i + 1}</span></button>
            <button type='button' class='danger' aria-disabled={state !== 'up'} title='kill -9: nobody is told' onClick={() => { room.nodeFault(id, 'kill') }}>Kill<span class='hidden'> node {i + 1}</span></button>
          </li>
        ))}
      </ul>
      <h3>Latency</h3>
      <dl class='figures'>
        <div><dt>median accepted</dt><dd>{medianOf('accepted')}</dd></div>
        <div><dt>median received</dt><dd>{medianOf('received')}</dd></div>
        <div><dt>messages</dt><dd>{room.accepted}</dd></div>
        <div><dt>waiting</dt><dd>{people.reduce((sum, { client }) => sum + client.waiting, 0)}</dd></div>
      </dl>
      <Chart
        name='latency' label='Latency of the messages of the last minute' version={`${Math.floor(nowMs / LATENCY_STEP_MS)} ${look}`}
        option={() => latencyOption(room.latency, nowMs, palette)}
      />
      <h3 id='news-title'>What happened</h3>
      <div class='news' role='log' aria-live='polite' aria-labelledby='news-title' tabIndex={0}>
        {room.news.length === 0 && <p class='empty'>Nothing yet: kill a node, or cut somebody off</p>}
        {room.news.map(({ id, at, text }) => <p key={id}><time dateTime={new Date(at).toISOString()}>{TIME.format(at)}</time> {text}</p>)}
      </div>
    </aside>
  )
}

function usersOn ({ live }: Room, node: string): string {
  const users = live.devices.flatMap((device) => device.node === node ? device.user : [])
  return users.length === 0 ? 'nobody' : users.join(', ')
}
