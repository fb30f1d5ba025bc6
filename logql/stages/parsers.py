"""The stage of each parser node."""

from __future__ import annotations

from typing import TypeAlias

from logql import ast
from logql.stages.hints import ALL, Hints
from logql.stages.json_expressions import JsonExpressions
from logql.stages.json_stage import JsonParser
from logql.stages.logfmt import LogfmtParser
from logql.stages.logfmt_expressions import LogfmtExpressions
from logql.stages.pattern_parser import PatternParser
from logql.stages.regexp import RegexpParser
from logql.stages.unpack import UnpackParser

ParserNode: TypeAlias = "ast.JsonStage | ast.LogfmtStage | ast.PatternStage | ast.RegexpStage | ast.UnpackStage"
Parser: TypeAlias = (
    "JsonParser | JsonExpressions | LogfmtParser | LogfmtExpressions | PatternParser | RegexpParser | UnpackParser"
)


def parser_of(node: ParserNode, hints: Hints = ALL) -> Parser:
    """The stage of a parser.

    Raises:
        StageError: it cannot be built. Of json and logfmt the text is what Loki writes behind `stage '...' : `, of
            pattern and regexp all that stands behind `parse error : `.
    """
    match node:
        case ast.JsonStage():
            return (JsonExpressions if node.extractions else JsonParser).of(node, hints)
        case ast.LogfmtStage():
            return (LogfmtExpressions if node.extractions else LogfmtParser).of(node, hints)
        case ast.PatternStage():
            return PatternParser.of(node, hints)
        case ast.RegexpStage():
            return RegexpParser.of(node, hints)
        case ast.UnpackStage():
            return UnpackParser.of(node, hints)
