/** Parts of Kafka's client and its codecs that come without types. */
declare module 'kafkajs/src/network/requestQueue/index.js' {
  const RequestQueue: { readonly prototype: object }
  export default RequestQueue
}

declare module 'kafkajs/src/protocol/decoder.js' {
  const Decoder: { new (buffer: Buffer): object, readonly prototype: object }
  export default Decoder
}
