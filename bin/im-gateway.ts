#!/usr/bin/env node
/** `npx im-gateway COMMAND`: what developers and operators ask. The gateway itself is started by `npm start`. */
import { dispatch, type Command } from './dispatch.ts'

const COMMANDS: Readonly<Record<string, Command>> = {
  'check-client': {
    about: 'plays every situation against a client and says which MUST and SHOULD it keeps',
    load: async () => (await import('../conformance/command.ts')).checkClientCommand
  },
  'check-config': {
    about: 'checks the environment and says what a node of it can carry',
    load: async () => (await import('./commands/config.ts')).configCommand('check-config')
  },
  'print-config': {
    about: 'prints the settings that hold',
    load: async () => (await import('./commands/config.ts')).configCommand('print-config')
  },
  connections: {
    about: 'lists who is connected',
    load: async () => (await import('./commands/connections.ts')).connectionsCommand
  },
  explain: {
    about: 'tells the way of a message, or of a user\'s messages, over all nodes, and where it ended',
    load: async () => (await import('./commands/explain.ts')).explainCommand
  },
  drain: {
    about: 'empties nodes, watches it, or calls it off',
    load: async () => (await import('./commands/drain.ts')).drainCommand
  },
  disconnect: {
    about: 'ends a user\'s sockets on all nodes',
    load: async () => (await import('./commands/connections.ts')).disconnectCommand
  },
  token: {
    about: 'makes tokens for development, and looks into any',
    load: async () => (await import('./commands/token.ts')).tokenCommand
  }
}

// Who reads the first lines alone, `head` for instance, has what it wanted; the command goes on to its own exit code.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => { if (error.code !== 'EPIPE') throw error })
}

process.exitCode = await dispatch(COMMANDS, process.argv.slice(2), {
  out: (text) => { process.stdout.write(text) },
  err: (text) => { process.stderr.write(text) }
})
