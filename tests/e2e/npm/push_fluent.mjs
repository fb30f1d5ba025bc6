// Events through fluent-logger: arguments are the port, the event mode, "ack" or "plain", and maybe the shared key.
// Prints "done" once the library has said so of each.
import fluent from 'fluent-logger'

const [port, eventMode, ack, sharedKey] = process.argv.slice(2)
const log = fluent.createFluentSender('shop', {
  host: '127.0.0.1',
  port: Number(port),
  timeout: 5.0,
  eventMode,
  requireAckResponse: ack === 'ack',
  flushInterval: 50,
  ...(sharedKey && {
    security: { clientHostname: 'edge.local', sharedKey, username: 'bob', password: 'pw' },
  }),
})
log.on('error', (error) => console.error(error))

const send = (label, record) =>
  new Promise((resolve, reject) => log.emit(label, record, (error) => (error ? reject(error) : resolve())))

await Promise.all([
  send('web', { log: 'cart opened', level: 'debug' }),
  send('web', { log: 'order 17 placed by Jürgen 日本 😀', level: 'info', order: 17 }),
  send('web', { log: 'a "quoted" <tag> & a \\ backslash', level: 'warn' }),
  send('web', { log: 'order failed\n    at line two', level: 'error', context: { zone: 'eu-1' } }),
])
console.log('done')
await new Promise((resolve) => log.end(null, null, resolve))
