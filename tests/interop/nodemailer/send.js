// Sends the messages of a request with Nodemailer and tells how each ended.
//
// Standard input:  {"transport": {options of createTransport}, "messages": [{options of sendMail}]}
// Standard output: [{"isSent": true, "accepted": […], "rejected": […], "response": "250 …"}
//                   or {"isSent": false, "code": "EAUTH", "responseCode": 535, "response": "…"}]
// Attachments of {"filename": …, "octets": n} get n octets, counted up and over again.

"use strict";

const nodemailer = require("nodemailer");

async function readRequest() {
  const blocks = [];
  for await (const block of process.stdin) {
    blocks.push(block);
  }
  return JSON.parse(Buffer.concat(blocks).toString("utf8"));
}

function withContents(message) {
  const attachments = (message.attachments || []).map(({ filename, octets }) => ({
    filename,
    content: Buffer.from(Uint8Array.from({ length: octets }, (_, index) => index)),
  }));
  return { ...message, attachments };
}

async function send(transporter, message) {
  try {
    const { accepted, rejected, response } = await transporter.sendMail(withContents(message));
    return { isSent: true, accepted, rejected, response };
  } catch ({ code, responseCode, response, message: text }) {
    return { isSent: false, code, responseCode, response, text };
  }
}

async function main() {
  const { transport, messages } = await readRequest();
  const transporter = nodemailer.createTransport(transport);
  const results = await Promise.all(messages.map((message) => send(transporter, message)));
  transporter.close();
  process.stdout.write(JSON.stringify(results));
}

main();
