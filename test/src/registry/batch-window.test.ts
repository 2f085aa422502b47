import t from 'tap'
import { BatchWindow, MAX_WINDOW_MS, WINDOW_MS } from '../../../src/registry/batch-window.ts'

t.test('the wait stays short while operations come one by one', async (t) => {
  const window = new BatchWindow()
  for (let nowMs = 0; nowMs < 200; nowMs += 5) {
    window.sent(1, nowMs)
    t.equal(window.at(nowMs), WINDOW_MS)
  }
})

t.test('the wait doubles while operations crowd, up to its maximum, and halves when they thin out', async (t) => {
  const window = new BatchWindow()
  window.sent(2, 0)
  const waits: number[] = []
  for (const [operations, nowMs] of [[4, 4], [4, 8], [4, 16], [8, 32], [20, 48], [3, 64], [1, 80], [1, 96]] as const) {
    window.sent(operations, nowMs)
    waits.push(window.at(nowMs))
  }
  t.strictSame(waits, [4, 8, MAX_WINDOW_MS, MAX_WINDOW_MS, MAX_WINDOW_MS, 8, 4, WINDOW_MS])
})

t.test('after a pause the wait is short at once', async (t) => {
  const window = new BatchWindow()
  for (let nowMs = 0; nowMs < 60; nowMs++) window.sent(50, nowMs)
  t.equal(window.at(59 + MAX_WINDOW_MS), MAX_WINDOW_MS)
  t.equal(window.at(60 + MAX_WINDOW_MS), WINDOW_MS)
})
