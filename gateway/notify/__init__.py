"""Alerts: something is wrong with a relay or with the server. Notifiers are told once, and once when it is over.

alerts.raised("relay/archive", "relay archive cannot deliver", {"error": "connection refused"})
alerts.resolved("relay/archive")
"""

from gateway.notify.alert import Action, Alert, Notice
from gateway.notify.alerts import Alerts
from gateway.notify.channel import tell_once

__all__ = ["Action", "Alert", "Alerts", "Notice", "tell_once"]
