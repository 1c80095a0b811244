/** Pictures by their URLs: `data:` URLs, and files of the folder `images`. */
import { readFile, realpath } from 'node:fs/promises'
import { sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { convertIndexedToRgb, decode, hasPngSignature, type DecodedPng } from 'fast-png'
import { GrpcError, status } from '../../src/index.ts'
import type { Picture } from './shapes.ts'

const FOLDER = new URL('images/', import.meta.url)
const LONGEST_SIDE = 1024
/** Where a PNG file has its width and height. */
const SIZE_AT = 16

export class ImageReader {
  /** @throws GrpcError INVALID_ARGUMENT, NOT_FOUND */
  async read ({ url }: { url: string }): Promise<Picture> {
    if (url.startsWith('data:')) return pictureOf(await dataOf(url))
    if (url.startsWith('file:')) return pictureOf(await contentOf(url))
    throw new GrpcError(status.INVALID_ARGUMENT, 'Images are given by `data:` URLs, or as `file:circle.png` and the like')
  }
}

async function dataOf (url: string): Promise<Buffer> {
  try {
    return Buffer.from(await (await fetch(url)).arrayBuffer())
  } catch {
    throw new GrpcError(status.INVALID_ARGUMENT, 'The `data:` URL is malformed')
  }
}

/** Nothing outside of the folder is read, whatever the URL or a link says. */
async function contentOf (url: string): Promise<Buffer> {
  try {
    const folder = await realpath(fileURLToPath(FOLDER))
    const file = await realpath(fileURLToPath(new URL(url, FOLDER)))
    if (file.startsWith(folder + sep)) return await readFile(file)
  } catch {
    // What cannot be read is not told from what is not there.
  }
  throw new GrpcError(status.NOT_FOUND, `There is no image ${url}`)
}

function pictureOf (content: Buffer): Picture {
  if (!hasPngSignature(content) || content.length < SIZE_AT + 8) throw new GrpcError(status.INVALID_ARGUMENT, 'Images must be PNG')
  if (Math.max(content.readUInt32BE(SIZE_AT), content.readUInt32BE(SIZE_AT + 4)) > LONGEST_SIDE) throw new GrpcError(status.INVALID_ARGUMENT, `Images may have at most ${LONGEST_SIDE} × ${LONGEST_SIDE} pixels`)
  return grey(decoded(content))
}

/** With 1 to 4 channels of 8 or 16 bits. */
function decoded (content: Buffer): DecodedPng {
  try {
    const png = decode(content, { checkCrc: true })
    if (png.palette !== undefined) return { ...png, data: convertIndexedToRgb(png), channels: png.palette[0]!.length, depth: 8 }
    if (png.depth >= 8) return png
  } catch {
    throw new GrpcError(status.INVALID_ARGUMENT, 'The PNG image is damaged')
  }
  throw new GrpcError(status.INVALID_ARGUMENT, 'PNG images must have 8 or 16 bits for each channel, or a palette')
}

/** The mean of red, green and blue; how transparent it is does not count. */
function grey ({ width, height, data, depth, channels }: DecodedPng): Picture {
  const colors = channels < 3 ? 1 : 3
  const most = colors * (2 ** depth - 1)
  const pixels = Float32Array.from({ length: width * height }, (_, i) => {
    let sum = 0
    for (let color = 0; color < colors; color++) sum += data[i * channels + color]!
    return sum / most
  })
  return { width, height, pixels }
}
