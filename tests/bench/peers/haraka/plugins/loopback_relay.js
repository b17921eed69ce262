'use strict'

// Whoever gets to the loopback port may send to everybody, as `mynetworks` has it in Postfix.
exports.hook_connect = (next, connection) => {
    connection.relaying = true
    next()
}

exports.hook_rcpt = (next) => next(OK)
