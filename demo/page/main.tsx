/** Starts the page, and draws it at most once a frame. */
import { render } from 'preact'
import { App } from './app.tsx'
import { Room } from './room.ts'
import { startTheme } from './theme.ts'

/** The latency's window moves on, whether or not anything happens. */
const REDRAW_MS = 500

const root = document.getElementById('app')
if (root === null) throw new Error('the page has no place to draw in')
let isDue = false
const draw = (): void => {
  if (isDue) return
  isDue = true
  requestAnimationFrame(() => {
    isDue = false
    render(<App room={room} />, root)
  })
}
const room = new Room(draw)
root.replaceChildren()
startTheme(draw)
room.start()
setInterval(draw, REDRAW_MS)
