/** Names and texts that descriptors have in forms of their own. */
import protobuf from 'protobufjs'

/** `by_name` → `ByNameEntry` */
export function entryName (field: string): string {
  return `${field.split('_').map(protobuf.util.ucFirst).join('')}Entry`
}

/** A default value of a float or double. */
export function floatText (value: number): string {
  if (Number.isFinite(value)) return Object.is(value, -0) ? '-0' : String(value)
  return Number.isNaN(value) ? 'nan' : value < 0 ? '-inf' : 'inf'
}

const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '"': '\\"', "'": "\\'", '\\': '\\\\' }

/** A default value of type bytes. */
export function bytesText (bytes: Buffer): string {
  return bytes.toString('latin1').replace(/[^ -~]|["'\\]/g, char => ESCAPES[char] ?? `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)
}
