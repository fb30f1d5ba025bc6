// Logs through pino-loki: arguments are the server's URL and "single" or "batch".
import pino from 'pino'
import { pinoLoki } from 'pino-loki'

const [host, how] = process.argv.slice(2)
const stream = pinoLoki({
  host,
  labels: { application: 'shop' },
  propsToLabels: ['zone'],
  batching: how === 'batch' ? { interval: 60 } : false,
})
const log = pino({ level: 'debug', base: undefined }, stream)

log.debug('cart opened')
log.info({ meta: { order: 17, customer: 'Jürgen 日本 😀' } }, 'order placed')
log.warn({ zone: 'eu-1' }, 'a "quoted" <tag> & a \\ backslash')
log.error(new Error('no such customer'), 'order failed')

stream.end()
