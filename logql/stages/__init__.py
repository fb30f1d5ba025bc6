"""Stages of pipelines, a row at a time: short and exact. `Pipeline` runs them; each file is one of them."""

from logql.stages.hints import Wanted
from logql.stages.pipeline import Pipeline, Stage, stages_of
from logql.stages.row import Row

__all__ = ["Pipeline", "Row", "Stage", "Wanted", "stages_of"]
