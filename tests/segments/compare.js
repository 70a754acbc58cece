// usage: segment_answers SEED COUNT | node compare.js DIRECTORY_OF_NODE_MODULES
//
// Holds the gateway's encoding and number of segments against sms-segments-calculator's, text by
// text. A line: the text's UTF-8 in hex, "GSM-7" or "UCS-2", the number. Fails with the texts that
// differ, or when it was given none.
//
// The package is asked with smartEncoding off: texts are counted as they are.
//
// One exception. In UCS-2 the package moves a whole grapheme cluster to the next segment when it
// does not fit: an emoji of several characters, a flag, a letter with its combining marks. No
// standard asks for that: TS 23.040, 9.2.3.24.1, keeps together the two septets of an escaped
// character and the octets of one 16-bit character, and what joins the segments joins clusters,
// too. (A pair of surrogates is one character of UTF-16, and both of us keep it together.) A cluster
// longer than a segment even makes the package's overflow. So a text with clusters of several
// characters must have the number that the package's own code finds when it is given characters in
// place of clusters; all others, and all encodings, must agree with the package as it is.
'use strict';

const path = require('path');
const readline = require('readline');
const { SegmentedMessage } = require(
  path.resolve(process.argv[2], 'node_modules', 'sms-segments-calculator'));

// The package adds up a segment's bits with reduce() for each character: most of its time. Here a
// loop adds up the same; each hundredth text is counted by the package untouched as well.
const segmentPrototype =
  Object.getPrototypeOf(Object.getPrototypeOf(new SegmentedMessage('').segments[0]));
const untouchedSize = segmentPrototype.sizeInBits;
function quickSize() {
  let bits = 0;
  for (let i = 0; i < this.length; ++i) bits += this[i].sizeInBits();
  return bits;
}
function messageBy(sizeInBits, text) {
  segmentPrototype.sizeInBits = sizeInBits;
  return new SegmentedMessage(text, 'auto', false);
}

// What the package would say if it kept characters together and nothing more.
function byCharacters(message, text) {
  return message._buildSegments(message._encodeChars([...text])).length;
}

let compared = 0;
let excepted = 0;
let differing = 0;

function compare(line) {
  const [hex, encoding, segments] = line.split(' ');
  const text = Buffer.from(hex, 'hex').toString('utf8');
  if (compared % 100 === 0 && messageBy(untouchedSize, text).segmentsCount !==
      messageBy(quickSize, text).segmentsCount) {
    throw new Error(`another loop, another count: ${JSON.stringify(text)}`);
  }
  const message = messageBy(quickSize, text);
  const hasClusters = message.graphemes.length < [...text].length;
  const expected = hasClusters ? byCharacters(message, text) : message.segmentsCount;
  ++compared;
  if (expected !== message.segmentsCount) ++excepted;
  if (message.encodingName === encoding && expected === Number(segments)) return;
  if (++differing > 20) return;
  console.log(`${JSON.stringify(text)}: ${encoding} ${segments}, the package: ` +
              `${message.encodingName} ${message.segmentsCount}, by characters ${expected}`);
}

readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on('line', compare)
  .on('close', () => {
    console.log(`${compared} texts compared, ${differing} differ; of ${excepted} the package keeps ` +
                'clusters together and needs another number of segments');
    process.exit(differing === 0 && compared > 0 ? 0 : 1);
  });
