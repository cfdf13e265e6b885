// What the browser's own codecs do, for use from Pyodide's worker: they are machine code, Pillow there is WebAssembly.

// Decode a photo: upright, converted to sRGB. Rejects with a DecodeError if the file is broken. A canvas keeps colours
// multiplied by alpha in 8 bits, so those of faint pixels come out coarse: take Pillow for files with transparency.
export async function decode(bytes, mediaType) {
  try {
    const blob = new Blob([bytes], {type: mediaType})
    // Nothing is asked about alpha: leaving it as it is takes Chromium half as long again, also where there is none.
    const options = {imageOrientation: "from-image", colorSpaceConversion: "default"}
    return new Picture(await createImageBitmap(blob, options))
  } catch (error) {
    throw Object.assign(new Error(`The browser cannot decode this ${mediaType} file: ${error.message}`),
      {name: "DecodeError"})
  }
}

// A decoded photo whose pixels are read a band at a time: a canvas of the whole would be a second copy.
class Picture {
  #bitmap
  #context = null

  constructor(bitmap) {
    this.#bitmap = bitmap
    this.width = bitmap.width
    this.height = bitmap.height
  }

  // Write the rows from `top` to `bottom` as RGB, three bytes per pixel, into a contiguous Python buffer of that length:
  // one pass from the canvas into the array, where an array made here would be copied once more.
  readInto(target, top, bottom) {
    const view = target.getBuffer("u8")
    try {
      if (!view.c_contiguous || view.nbytes !== 3 * this.width * (bottom - top)) {
        throw new RangeError(`The rows ${top} to ${bottom} need a contiguous buffer of `
          + `${3 * this.width * (bottom - top)} bytes; this one has ${view.nbytes}.`)
      }
      copyColours(this.#draw(top, bottom), view.data.subarray(view.offset, view.offset + view.nbytes))
    } finally {
      view.release()
    }
  }

  // Return the rows from `top` to `bottom` as RGBA, for files that may turn out to be transparent.
  readRgba(top, bottom) {
    const {buffer, byteOffset, byteLength} = this.#draw(top, bottom)
    return new Uint8Array(buffer, byteOffset, byteLength)
  }

  #draw(top, bottom) {
    const height = bottom - top
    if (!this.#context || this.#context.canvas.height < height) {
      this.#context = new OffscreenCanvas(this.width, height).getContext("2d", {willReadFrequently: true})
    }
    // "copy" clears what the band before left under transparent pixels.
    this.#context.globalCompositeOperation = "copy"
    this.#context.drawImage(this.#bitmap, 0, -top)
    return this.#context.getImageData(0, 0, this.width, height).data
  }

  // Give the memory back now; the garbage collector does not know how large a bitmap is.
  close() {
    this.#bitmap.close()
    this.#context = null
  }
}

// RGBA to RGB. Four pixels at a time where the target lies on a word: a quarter of the time of a byte at a time.
function copyColours(rgba, rgb) {
  let from = 0
  if (rgb.byteOffset % 4 === 0) {
    const pixels = new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.length >> 2)
    const words = new Uint32Array(rgb.buffer, rgb.byteOffset, rgb.length >> 2)
    // Little-endian, as WebAssembly is: a red, green, blue; b red | green, blue; c red, green | blue; d red, green, blue.
    for (let to = 0; to + 3 <= words.length; from += 4, to += 3) {
      const a = pixels[from], b = pixels[from + 1], c = pixels[from + 2], d = pixels[from + 3]
      words[to] = (a & 0xffffff) | (b << 24)
      words[to + 1] = ((b >>> 8) & 0xffff) | (c << 16)
      words[to + 2] = ((c >>> 16) & 0xff) | (d << 8)
    }
  }
  for (let to = 3 * from, at = 4 * from; at < rgba.length; at += 4, to += 3) {
    rgb[to] = rgba[at]
    rgb[to + 1] = rgba[at + 1]
    rgb[to + 2] = rgba[at + 2]
  }
}

// Encode straight-alpha RGBA as WebP; quality from 0 to 100. Safari has no WebP encoder and gives PNG: see `mediaType`.
// For previews, as colours of faint pixels are coarse here too.
export async function encodeWebp(rgba, width, height, quality) {
  const canvas = new OffscreenCanvas(width, height)
  const pixels = new Uint8ClampedArray(rgba.buffer, rgba.byteOffset, rgba.byteLength)
  canvas.getContext("2d", {willReadFrequently: true}).putImageData(new ImageData(pixels, width, height), 0, 0)
  const blob = await canvas.convertToBlob({type: "image/webp", quality: quality / 100})
  return {data: new Uint8Array(await blob.arrayBuffer()), mediaType: blob.type}
}

// A file from pieces that Python made; the browser keeps it outside of this worker's memory.
export const makeBlob = (pieces, mediaType) => new Blob(pieces, {type: mediaType})

// An address for a link or an image; it works as long as the worker lives that called this.
export const publish = blob => URL.createObjectURL(blob)
export const revoke = url => URL.revokeObjectURL(url)
