// A file to an upright photo, refused in the words of explorer/images.py.

/** The file is no photo that can be used; `message` is one sentence for people. */
export class ImageError extends Error {}

const ACCEPTED = "JPEG, PNG, WebP, AVIF, BMP or GIF, at most 25 MB and 50 megapixels";
const MOST_BYTES = 25 * 2 ** 20, MOST_PIXELS = 50_000_000;
const DECODED = ["JPEG", "PNG", "WebP", "AVIF", "BMP", "GIF"];
/** How files begin, to name their kind in a message. */
const BEGINNINGS = [
  [/^\xff\xd8\xff/, "JPEG"], [/^\x89PNG/, "PNG"], [/^RIFF....WEBP/s, "WebP"], [/^BM/, "BMP"],
  [/^(II[*+]\x00|MM\x00[*+])/, "TIFF"], [/^GIF8/, "GIF"], [/^....ftyp(hei|hev|mif|msf)/s, "HEIC"],
  [/^....ftypavi/s, "AVIF"], [/^....ftyp/s, "video"], [/^%PDF/, "PDF"], [/^(%!PS|\xc5\xd0\xd3\xc6)/, "EPS"],
  [/^\x00\x00\x01\x00/, "ICO"], [/^8BPS/, "Photoshop"], [/^PK\x03\x04/, "ZIP"], [/^.{128}DICM/s, "DICOM"],
  [/^\s*<(\?xml|svg)/, "SVG"],
];

/**
 * A Blob or File as an ImageBitmap: upright, its colours as they are stored, as Python reads them.
 *
 * Throws ImageError where it is empty, too large, damaged, or of a kind that this browser does not decode.
 */
export async function readPhoto(file) {
  if (!file.size) throw new ImageError(`The photo is empty (0 bytes); expected ${ACCEPTED}.`);
  if (file.size > MOST_BYTES) {
    throw new ImageError(`The photo has ${(file.size / 2 ** 20).toFixed(1)} MB; expected ${ACCEPTED}.`);
  }
  let photo;
  try {
    photo = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new ImageError(refusal(new Uint8Array(await file.slice(0, 200).arrayBuffer())));
  }
  const { width, height } = photo;
  if (width * height > MOST_PIXELS) {
    photo.close();
    throw new ImageError(`The photo has ${((width * height) / 1e6).toFixed(1)} megapixels (${width} x ${height}); `
      + `expected ${ACCEPTED}.`);
  }
  return photo;
}

function refusal(bytes) {
  const text = String.fromCharCode(...bytes), kind = BEGINNINGS.find(([pattern]) => pattern.test(text))?.[1];
  if (DECODED.includes(kind)) {
    return `This ${kind} file is damaged, cut short or of an unusual sort; expected ${ACCEPTED}.`;
  }
  return `This is ${kind ? `a file of the kind ${kind}` : "not a photo"}; expected ${ACCEPTED}.`;
}
