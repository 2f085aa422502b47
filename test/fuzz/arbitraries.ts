/** What the targets are made of: bytes that were changed, cut and put together wrongly, and values that no sender writes. */
import fc from 'fast-check'

/** How the fuzzing side lets go of a connection. */
export type Ending = 'close' | 'end' | 'reset'
export const endings = fc.constantFrom<Ending>('close', 'end', 'reset')

type Edit = readonly [kind: 'flip' | 'set' | 'cut' | 'repeat' | 'insert' | 'drop', at: number, value: number]

const edit: fc.Arbitrary<Edit> = fc.tuple(fc.constantFrom('flip', 'set', 'cut', 'repeat', 'insert', 'drop'), fc.nat(0xffff), fc.nat(0xff))

function edited (bytes: Buffer, [kind, position, value]: Edit): Buffer {
  const at = bytes.length === 0 ? 0 : position % bytes.length
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
  switch (kind) {
    case 'flip': return Buffer.concat([before, after.map((byte, i) => i === 0 ? byte ^ (1 << (value & 7)) : byte)])
    case 'set': return Buffer.concat([before, after.map((byte, i) => i === 0 ? value : byte)])
    case 'cut': return before
    case 'repeat': return Buffer.concat([before, after.subarray(0, value), after])
    case 'insert': return Buffer.concat([before, Buffer.from([value]), after])
    case 'drop': return Buffer.concat([before, after.subarray(value & 7)])
  }
}

/** Some as they are, most with one to six edits. */
export function mutated (bytes: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  return fc.tuple(bytes, fc.array(edit, { maxLength: 6 })).map(([whole, edits]) => edits.reduce(edited, whole))
}

export const noise: fc.Arbitrary<Buffer> = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))

/** The same bytes in pieces, as hexadecimal. */
export function chunked (bytes: fc.Arbitrary<Buffer>): fc.Arbitrary<string[]> {
  return fc.tuple(bytes, fc.array(fc.nat(0xffff), { maxLength: 4 })).map(([whole, cuts]) => {
    const ends = [...new Set([...cuts.map((cut) => whole.length === 0 ? 0 : cut % whole.length), whole.length])].sort((a, b) => a - b)
    return ends.map((end, i) => whole.toString('hex', ends[i - 1] ?? 0, end))
  })
}

const nested = fc.tuple(fc.constantFrom('[', '{"a":'), fc.constantFrom(10, 500, 4_000)).map(([open, depth]) => open.repeat(depth) + '1' + (open === '[' ? ']' : '}').repeat(depth))
/** JSON texts that a well-behaved sender never puts into a field; some are no JSON at all. */
const odd: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('null', 'true', '-1', '0.1', '1e999', '-0', '9007199254740993', '1e400', '""', '[]', '{}', '"\\ud800"', '"\\u0000"', '"\\u202e"', '"__proto__"', '"constructor"', 'NaN', 'undefined', "'a'", '\ufeff1'),
  nested,
  fc.constantFrom(65, 129, 5_000, 12_000).map((length) => JSON.stringify('x'.repeat(length))),
  fc.string({ unit: 'binary', maxLength: 200 }).map((text) => JSON.stringify(text)),
  fc.json({ maxDepth: 3 }),
  fc.array(fc.constantFrom('"a"', '1', 'null'), { minLength: 200, maxLength: 300 }).map((list) => `[${list.join()}]`)
)
const oddKey = fc.oneof(fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'type', 'hasOwnProperty', '', 'msg_id'), fc.string({ maxLength: 8 }))

/** The JSON text of an object with these fields; most have one or two of them replaced, doubled, missing, joined by others or the text cut. */
export function oddJson (object: fc.Arbitrary<Readonly<Record<string, unknown>>>): fc.Arbitrary<string> {
  const change = fc.tuple(fc.constantFrom('replace', 'remove', 'add', 'double'), fc.nat(15), oddKey, odd)
  return fc.tuple(object, fc.array(change, { maxLength: 2 }), fc.option(fc.nat(400), { freq: 6 })).map(([fields, changes, cut]) => {
    const members = Object.entries(fields).filter(([, value]) => value !== undefined).map(([name, value]) => [name, JSON.stringify(value)])
    for (const [kind, at, key, text] of changes) {
      const index = members.length === 0 ? 0 : at % members.length
      const name = members[index]?.[0] ?? key
      if (kind === 'replace') members[index] = [name, text]
      else if (kind === 'remove') members.splice(index, 1)
      else members.push([kind === 'add' ? key : name, text])
    }
    const text = `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join()}}`
    return cut === null ? text : text.slice(0, cut)
  })
}

/** Objects as they should be, objects with faults, and any JSON or text at all. */
export function jsonLike (object: fc.Arbitrary<Readonly<Record<string, unknown>>>): fc.Arbitrary<string> {
  return fc.oneof({ weight: 8, arbitrary: oddJson(object) }, odd, fc.string({ unit: 'binary', maxLength: 100 }))
}
