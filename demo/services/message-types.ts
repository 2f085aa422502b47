/** Message types between the IM Service's enum and the names that clients use. */
import { MessageType } from '../../src/generated/im/v1/im.ts'

const NAMES: Readonly<Record<MessageType, string>> = {
  [MessageType.MESSAGE_TYPE_UNSPECIFIED]: 'text',
  [MessageType.MESSAGE_TYPE_TEXT]: 'text',
  [MessageType.MESSAGE_TYPE_IMAGE]: 'image',
  [MessageType.MESSAGE_TYPE_FILE]: 'file',
  [MessageType.MESSAGE_TYPE_AUDIO]: 'audio',
  [MessageType.MESSAGE_TYPE_VIDEO]: 'video',
  [MessageType.MESSAGE_TYPE_LOCATION]: 'location',
  [MessageType.MESSAGE_TYPE_SYSTEM]: 'system'
}

export function typeName (type: MessageType): string {
  return NAMES[type] ?? 'text'
}
