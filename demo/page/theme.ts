/** Light, dark or as the system has it; and the colours of the style sheet for what draws on a canvas. */
import type { Palette } from './charts.ts'

export type Theme = 'system' | 'light' | 'dark'

export const THEMES: readonly Theme[] = ['system', 'light', 'dark']
const KEY = 'theme'
const NAMES = ['surface', 'text', 'muted', 'line', 'accent', 'up', 'warn', 'bad', 'person-0', 'person-1', 'person-2', 'person-3', 'person-4', 'person-5'] as const
const isDark = matchMedia('(prefers-color-scheme: dark)')
const isStill = matchMedia('(prefers-reduced-motion: reduce)')
let palette: Palette | undefined

/** Sets what was chosen last, and calls whenever colours change. */
export function startTheme (onChange: () => void): void {
  chooseTheme(currentTheme())
  for (const query of [isDark, isStill]) {
    query.addEventListener('change', () => {
      palette = undefined
      onChange()
    })
  }
}

export function currentTheme (): Theme {
  const kept = localStorage.getItem(KEY)
  return THEMES.find((theme) => theme === kept) ?? 'system'
}

export function chooseTheme (theme: Theme): void {
  localStorage.setItem(KEY, theme)
  document.documentElement.dataset['theme'] = theme
  palette = undefined
}

/** The style sheet's, resolved. */
export function currentPalette (): Palette {
  palette ??= readPalette()
  return palette
}

/** A variable keeps its light-dark(): only what is put to use is resolved. */
function readPalette (): Palette {
  const probe = document.createElement('span')
  document.body.append(probe)
  const colors = Object.fromEntries(NAMES.map((name) => {
    probe.style.color = `var(--${name})`
    return [name, getComputedStyle(probe).color]
  })) as Record<typeof NAMES[number], string>
  probe.remove()
  const { surface, text, muted, line, accent, up, warn, bad } = colors
  return { surface, text, muted, line, accent, up, warn, bad, people: NAMES.filter((name) => name.startsWith('person-')).map((name) => colors[name]), isStill: isStill.matches }
}
