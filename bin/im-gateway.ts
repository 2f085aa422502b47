#!/usr/bin/env node
/** `npx im-gateway COMMAND`: what developers and operators ask. The gateway itself is started by `npm start`. */
import { dispatch, type Command } from './dispatch.ts'

const COMMANDS: Readonly<Record<string, Command>> = {
  'check-client': {
    about: 'plays every situation against a client and says which MUST and SHOULD it keeps',
    load: async () => (await import('../conformance/command.ts')).checkClientCommand
  }
}

process.exitCode = await dispatch(COMMANDS, process.argv.slice(2), {
  out: (text) => { process.stdout.write(text) },
  err: (text) => { process.stderr.write(text) }
})
