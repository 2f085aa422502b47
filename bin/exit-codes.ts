/** What the commands end with (sysexits.h). */
import { EXIT_CONFIG } from '../src/cli.ts'
import { EXIT_USAGE } from './dispatch.ts'

export { EXIT_CONFIG, EXIT_USAGE }
export const EXIT_OK = 0
/** The answer is no: nothing is remembered, nobody was disconnected, a token does not hold. */
export const EXIT_NO = 1
/** The admin port, or a node behind it, does not answer. */
export const EXIT_UNAVAILABLE = 69
/** The admin port refuses: ADMIN_TOKEN is missing or wrong. */
export const EXIT_REFUSED = 77

/** Ends a command with a text and a code. */
export class CommandError extends Error {
  readonly exitCode: number

  constructor (exitCode: number, text: string) {
    super(text)
    this.name = 'CommandError'
    this.exitCode = exitCode
  }
}

export const EXIT_CODES_TEXT = `Exit codes: ${EXIT_OK} done; ${EXIT_NO} the answer is no; ${EXIT_USAGE} the arguments; ${EXIT_UNAVAILABLE} no answer; ${EXIT_REFUSED} refused, ADMIN_TOKEN; ${EXIT_CONFIG} the environment`
