"""Log queries of any length: `/weir/v1/export` streams them, `/weir/v1/context` shows what is around an entry."""
