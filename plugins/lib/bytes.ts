/** The same bytes as a Buffer; nothing is copied. */
export function asBuffer ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
