/** What server reflection tells of a proto file and of health. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, type DescriptorProto } from '@bufbuild/protobuf/wkt'
import { loadSync, type AnyDefinition, type PackageDefinition } from '@grpc/proto-loader'
import { ReflectionService } from '@grpc/reflection'
import { protoPath as healthProtoPath } from 'grpc-health-check'

/** `file` is a path below `proto/`, which is read from the installation. Throws where it is not part of it. */
export function reflectionOf (file: string): ReflectionService {
  const definition = loadSync([file, healthProtoPath], { includeDirs: [protoRoot(file)], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true })
  return new ReflectionService(withMapEntries(definition))
}

/** `proto/` lies at the root of the package, one level higher from the built files than from the sources. */
function protoRoot (file: string): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'proto', file))) return join(folder, 'proto')
    if (folder === dirname(folder)) throw new Error(`proto/${file} is not part of this installation`)
  }
}

/**
 * The message behind a map field `metadata` is called `MetadataEntry`; protobufjs 7 calls it `Metadata`, and clients that
 * check what they are told, grpcurl among them, refuse the whole file.
 */
function withMapEntries (definition: PackageDefinition): PackageDefinition {
  return Object.fromEntries(Object.entries(definition).map(([name, each]): [string, AnyDefinition] => [name, withMendedFiles(each)]))
}

function withMendedFiles (definition: AnyDefinition): AnyDefinition {
  // A service has none: its messages have them.
  if (!('fileDescriptorProtos' in definition) || !Array.isArray(definition.fileDescriptorProtos)) return definition
  return { ...definition, fileDescriptorProtos: definition.fileDescriptorProtos.map(mended) } as AnyDefinition
}

function mended (file: Uint8Array): Buffer {
  const descriptor = fromBinary(FileDescriptorProtoSchema, file)
  for (const message of descriptor.messageType) nameMapEntries(message)
  return Buffer.from(toBinary(FileDescriptorProtoSchema, descriptor))
}

function nameMapEntries (message: DescriptorProto): void {
  for (const nested of message.nestedType) {
    nameMapEntries(nested)
    if (nested.options?.mapEntry !== true) continue
    const name = `${nested.name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())}Entry`
    for (const field of message.field) if (field.typeName === nested.name) field.typeName = name
    nested.name = name
  }
}
