"""Go's text/template as line_format and label_format use it, with the functions Loki offers.

Nothing here may take unbounded time, memory or stack, whatever the template: see MAX_NESTING, MAX_DEPTH, MAX_STEPS
and MAX_OUTPUT where they are defined.
"""

from logql.template.compile import Template, compile_template
from logql.template.errors import TemplateError

__all__ = ["Template", "TemplateError", "compile_template"]
