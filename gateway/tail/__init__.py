"""Live tail: log queries over a websocket, first what there is, then each line as it is committed."""
