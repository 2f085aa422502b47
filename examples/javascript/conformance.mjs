/** The project's own client under the conformance kit: npx im-gateway check-client -- node examples/javascript/conformance.mjs */
import { createInterface } from 'node:readline'
import WebSocket from 'ws'
import { ImClient } from '../../client/dist/index.js'

const { IM_URL, IM_TOKEN_URL } = process.env
const tell = (event) => { process.stdout.write(`${JSON.stringify(event)}\n`) }

const client = new ImClient({
  url: IM_URL,
  token: async () => await (await fetch(IM_TOKEN_URL)).text(),
  WebSocket,
  onMessage: ({ msgId, content, sequenceNumber }, conversation) => { tell({ event: 'message', msg_id: msgId, conversation, content, sequence_number: sequenceNumber }) },
  onGap: (gap) => { tell({ event: 'gap', ...gap }) },
  onEnd: ({ code }) => { tell({ event: 'ended', code }) }
})
client.start()

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line)
    if (command.do === 'close') client.close()
    else if (command.do === 'send') {
      client.send(command.to, command.content).then(
        ({ sequenceNumber }) => { tell({ event: 'sent', ref: command.ref, sequence_number: sequenceNumber }) },
        ({ code }) => { tell({ event: 'failed', ref: command.ref, error_code: code }) }
      )
    }
  })
  .on('close', () => { process.exit() })
