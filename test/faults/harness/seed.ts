/** FC_SEED of the environment, else one of this moment. */
export function seedOfRun (): number {
  return Number(process.env['FC_SEED'] ?? Date.now() % 1_000_000)
}
