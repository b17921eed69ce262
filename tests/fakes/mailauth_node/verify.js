// Verifies messages with mailauth, without DNS.
//
// usage: node verify.js RECORDS.json MESSAGE...    (NODE_PATH leads to mailauth)
//
// RECORDS.json maps owner names to TXT strings. The messages are files with CRLF
// line ends. Prints a JSON list with a list for each message, which has one object
// per DKIM-Signature field, in the order of the fields: result (RFC 8601 words),
// domain, selector, comment.

'use strict';

const { readFileSync } = require('node:fs');
const { dkimVerify } = require('mailauth/lib/dkim/verify');

const [recordsPath, ...messagePaths] = process.argv.slice(2);
const records = JSON.parse(readFileSync(recordsPath, 'utf8'));

// mailauth logs there; the verdicts must stay alone on standard output.
console.log = console.error;

// In the shape of node:dns's promises.resolve, which mailauth would use.
async function resolve(name, type) {
    const record = records[name.toLowerCase()];
    if (type !== 'TXT' || record === undefined) {
        throw Object.assign(new Error(`no ${type} of ${name}`), { code: 'ENOTFOUND' });
    }
    return [[record]];
}

async function verdictsOf(path) {
    const { results } = await dkimVerify(readFileSync(path), { resolver: resolve });
    return results
        .filter(({ signingDomain }) => signingDomain) // one without says: not signed
        .map(({ signingDomain, selector, status }) => ({
            result: status.result,
            domain: signingDomain,
            selector,
            comment: status.comment || ''
        }));
}

async function main() {
    const verdicts = [];
    for (const path of messagePaths) {
        verdicts.push(await verdictsOf(path));
    }
    process.stdout.write(`${JSON.stringify(verdicts)}\n`);
}

main();
