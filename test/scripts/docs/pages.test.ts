/** The reference pages as files: valid by the official schemas, and complete. */
import { readFileSync } from 'node:fs'
import { Validator } from '@seriousme/openapi-schema-validator'
import asyncapiSchemas from '@asyncapi/specs'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import t from 'tap'
import { parse } from 'yaml'
import { ERRORS } from '../../../src/errors.ts'
import { CLOSE } from '../../../src/protocol/close-codes.ts'
import { SERVICES } from '../../../scripts/docs/grpc.ts'

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')

interface AsyncApi { readonly asyncapi: string, readonly operations: object, readonly channels: { readonly socket: { readonly messages: object } }, readonly components: { readonly messages: Readonly<Record<string, { readonly payload: object, readonly examples: ReadonlyArray<{ readonly payload: object }> }>> } }

t.test('docs/asyncapi.yaml is an AsyncAPI document, its references lead somewhere and its examples fit its schemas', async (t) => {
  const document = parse(read('docs/asyncapi.yaml')) as AsyncApi
  const schema = structuredClone((asyncapiSchemas.schemas as Readonly<Record<string, object>>)[document.asyncapi]) as { definitions: Record<string, unknown> }
  // Ajv has them already.
  for (const known of ['http://json-schema.org/draft-07/schema', 'http://json-schema.org/draft-04/schema']) delete schema.definitions[known]
  const ajv = new Ajv({ strict: false, allErrors: true })
  addFormats.default(ajv)
  const check = ajv.compile(schema)
  t.ok(check(document), ajv.errorsText(check.errors?.slice(0, 5)))
  t.notOk(check({ ...document, operations: { odd: { action: 'shout' } } }), 'the schema refuses what is none')
  for (const [, pointer = ''] of JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    const target = pointer.split('/').reduce<unknown>((place, name) => (place as Record<string, unknown> | undefined)?.[name], document)
    t.type(target, 'object', pointer)
  }
  for (const [name, { payload, examples }] of Object.entries(document.components.messages)) {
    const fits = ajv.compile(payload)
    for (const example of examples) t.ok(fits(example.payload), `${name}: ${ajv.errorsText(fits.errors)}`)
    t.ok(examples.length > 0, name)
  }
  t.notOk(ajv.compile(document.components.messages['client_ack']?.payload ?? {})({ type: 'ack' }), 'an ack names something')
})

t.test('docs/openapi.json is an OpenAPI 3.1 document', async (t) => {
  const { valid, errors } = await new Validator().validate(JSON.parse(read('docs/openapi.json')) as Record<string, unknown>)
  t.ok(valid, JSON.stringify(errors))
})

t.test('docs/codes.md has every code of the tables', async (t) => {
  const page = read('docs/codes.md')
  for (const { code, reason, reconnect } of Object.values(CLOSE)) t.match(page, new RegExp(`^\\| ${code} \\| \`${reason}\` \\| .+ \\| \`${reconnect}\` \\|$`, 'm'))
  for (const code of Object.keys(ERRORS)) t.match(page, new RegExp(`^\\| \`${code}\` \\| .+ \\|$`, 'm'))
})

t.test('docs/grpc.md has every call, message, field, value and comment of proto/', async (t) => {
  const page = read('docs/grpc.md')
  for (const { file } of SERVICES) {
    const [, ...lines] = read(`proto/${file}`).split('\n\n')
    const text = lines.join('\n\n')
    for (const [, name = ''] of text.matchAll(/^ *(?:rpc|message|enum|service) (\w+)/gm)) t.ok(page.includes(name), `${file}: ${name}`)
    for (const [, name = '', number = ''] of text.matchAll(/^ +(?:[\w.<>, ]+ )?(\w+) = (\d+);/gm)) t.ok(page.includes(`| ${number} | \`${name}\` |`), `${file}: ${name}`)
    for (const [comment] of text.slice(text.indexOf('package')).matchAll(/(?:^ *\/\/ .*\n)+/gm)) {
      const sentence = comment.replaceAll(/\s*\/\/ /g, ' ').trim()
      t.ok(page.includes(sentence), `${file}: ${sentence}`)
    }
  }
})
