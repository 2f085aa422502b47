/** Settings as the pages name them: with the default of the table. */
import { VARIABLES, type VariableName } from '../../src/config/table.ts'

/** `ACK_TIMEOUT` (5s). */
export function setting (name: VariableName): string {
  const row = VARIABLES[name]
  return 'default' in row && row.default !== undefined ? `\`${name}\` (${String(row.default)})` : `\`${name}\``
}
