import neostandard from 'neostandard'
import tseslint from 'typescript-eslint'
import house from './scripts/lint/direction.js'

/** The core gets its clock, its environment and its log through its ports. */
const AMBIENT_IN_CORE = [
  ...['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval'].map((name) => ({ name, message: 'Timers come from ports.Clock.' })),
  { name: 'console', message: 'Logs go through ports.Logger.' },
  { name: 'performance', message: 'Time comes from ports.Clock.' }
]
const AMBIENT_PROPERTIES_IN_CORE = [
  { object: 'Date', property: 'now', message: 'Time comes from ports.Clock.' },
  { object: 'performance', property: 'now', message: 'Time comes from ports.Clock.' },
  { object: 'process', property: 'env', message: 'Settings come through options.' },
  { object: 'process', property: 'hrtime', message: 'Time comes from ports.Clock.' },
  ...['setTimeout', 'setInterval'].map((property) => ({ object: 'globalThis', property, message: 'Timers come from ports.Clock.' }))
]

export default tseslint.config(
  { ignores: ['dist/**', 'client/dist/**', 'node_modules/**', 'src/generated/**', '.tap/**', '.cache/**', 'coverage/**'] },
  { linterOptions: { noInlineConfig: true } },
  ...neostandard({ ts: true, semi: false }),
  { rules: { 'no-void': ['error', { allowAsStatement: true }] } },
  {
    files: ['**/*.ts', '**/*.tsx'],
    plugins: { '@typescript-eslint': tseslint.plugin },
    languageOptions: { parser: tseslint.parser, parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/ban-ts-comment': ['error', { 'ts-expect-error': true, 'ts-ignore': true, 'ts-nocheck': true }]
    }
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // tap keeps the promise of a subtest itself; a forgotten `await t.rejects(…)` is still an error.
      '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafeCalls: [{ from: 'package', package: '@tapjs/core', name: 'test' }, { from: 'package', package: '@tapjs/test', name: 'test' }] }]
    }
  },
  {
    files: ['src/**/*.ts', 'plugins/**/*.ts', 'routes/**/*.ts'],
    plugins: { house },
    rules: {
      'house/direction': ['error', { root: import.meta.dirname }],
      'max-lines': ['error', 200],
      'no-console': 'error'
    }
  },
  { files: ['bin/**/*.ts', 'conformance/**/*.ts'], rules: { 'max-lines': ['error', 200], 'no-console': 'error' } },
  {
    files: ['client/**/*.ts'],
    rules: {
      'max-lines': ['error', 200],
      'no-console': 'error',
      'no-restricted-imports': ['error', {
        patterns: [
          { regex: '^[^.]', message: 'The client runs in browsers and needs no package.' },
          { regex: '^(\\.\\./)+(?!\\.\\./|src/protocol/(close-codes|subprotocol)\\.ts$)', message: 'The client shares two tables with the gateway and nothing else.' }
        ]
      }]
    }
  },
  { files: ['demo/page/**/*.{ts,tsx}', 'rehearse/**/*.ts'], rules: { 'max-lines': ['error', 200], 'no-console': 'error' } },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/main.ts', 'src/embedded/system-clock.ts'],
    rules: {
      'no-restricted-globals': ['error', ...AMBIENT_IN_CORE],
      'no-restricted-properties': ['error', ...AMBIENT_PROPERTIES_IN_CORE]
    }
  }
)
