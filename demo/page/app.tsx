/** The whole page. */
import { AddDialog } from './add-dialog.tsx'
import { Cluster } from './cluster.tsx'
import { Panel } from './panel.tsx'
import type { Room } from './room.ts'
import { chooseTheme, currentTheme, THEMES, type Theme } from './theme.ts'

export function App ({ room }: { readonly room: Room }) {
  const { people, live, talk } = room
  const up = live.nodes.filter(({ state }) => state === 'up').length
  return (
    <>
      <header class='bar'>
        <h1><img src='/icon.svg' alt='' width='28' height='28' /> IM gateway <span>chat demo</span></h1>
        <p class='hint'>Whoever’s panel you are in reads: ticks turn blue</p>
        <div class='controls'>
          <button type='button' aria-pressed={talk.isOn} title='People write by themselves' onClick={() => { talk.toggle() }}>Small talk</button>
          <AddDialog room={room} />
          <label class='theme'>
            <span class='hidden'>Theme</span>
            <select
              value={currentTheme()} onChange={({ currentTarget: { value } }) => {
                chooseTheme(value as Theme)
                room.onChange()
              }}
            >
              {THEMES.map((theme) => <option key={theme} value={theme}>{theme}</option>)}
            </select>
          </label>
        </div>
      </header>
      <nav class='jump' aria-label='Go to'>
        {people.map(({ name }, i) => <a key={name} href={`#person-${i}`}>{name}</a>)}
        <a href='#cluster'>{up} of {live.nodes.length} nodes</a>
      </nav>
      <div class='layout'>
        <main class='people'>
          {people.map((person, i) => <Panel key={person.name} room={room} person={person} place={i} />)}
        </main>
        <Cluster room={room} />
      </div>
    </>
  )
}
