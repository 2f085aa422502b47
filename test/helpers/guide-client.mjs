/** The TypeScript of docs/write-a-client.md under the conformance kit; its first argument is the compiled file of the page's blocks, which exports `begin`, `send` and `close`. */
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import WebSocket from 'ws'

const { IM_URL, IM_TOKEN_URL } = process.env
const tell = (event) => { process.stdout.write(`${JSON.stringify(event)}\n`) }

globalThis.WebSocket = WebSocket
const client = await import(pathToFileURL(process.argv[2]).href)

client.begin({
  url: IM_URL,
  token: async () => await (await fetch(IM_TOKEN_URL)).text(),
  history: async () => [],
  show: ({ msg_id: msgId, content, sequence_number: sequenceNumber }, conversation) => { tell({ event: 'message', msg_id: msgId, conversation, content, sequence_number: sequenceNumber }) },
  gap: (conversation, after, before) => { tell({ event: 'gap', conversation, after, before }) },
  ended: (code) => { tell({ event: 'ended', code }) }
})

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line)
    if (command.do === 'close') client.close()
    else {
      client.send(command.to, command.content).then(
        (sequenceNumber) => { tell({ event: 'sent', ref: command.ref, sequence_number: sequenceNumber }) },
        ({ message }) => { tell({ event: 'failed', ref: command.ref, error_code: message }) }
      )
    }
  })
  .on('close', () => { process.exit() })
