// Events through @fluent-org/logger: arguments are the port, the event mode, "ack" or "plain", and maybe the shared key.
// Prints "done" once the library has said so of each.
import logger from '@fluent-org/logger'

const [port, eventMode, ack, sharedKey] = process.argv.slice(2)
const log = new logger.FluentClient('shop', {
  socket: { host: '127.0.0.1', port: Number(port), timeout: 5000 },
  eventMode,
  ...(ack === 'ack' && { ack: { ackTimeout: 10000 } }),
  ...(sharedKey && {
    security: { clientHostname: 'edge.local', sharedKey, username: 'bob', password: 'pw' },
  }),
})
log.socketOn('error', (error) => console.error(error))

await Promise.all([
  log.emit('web', { log: 'cart opened', level: 'debug' }),
  log.emit('web', { log: 'order 17 placed by Jürgen 日本 😀', level: 'info', order: 17 }),
  log.emit('web', { log: 'a "quoted" <tag> & a \\ backslash', level: 'warn' }),
  log.emit('web', { log: 'order failed\n    at line two', level: 'error', context: { zone: 'eu-1' } }),
])
console.log('done')
await log.shutdown()
