// Downloads URL to FILE.
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";

const response = await fetch(process.argv[2]);
await finished(Readable.fromWeb(response.body).pipe(createWriteStream(process.argv[3])));
