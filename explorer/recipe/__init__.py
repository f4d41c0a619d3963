"""A recipe: what it takes to repeat an analysis elsewhere, and the numbers that are to come out again."""

from explorer.recipe.making import Differences, Repetition, recipe, recipe_json, record_json, repeat
from explorer.recipe.reading import FORMAT, MAX_BYTES, RecipeError, read_recipe

__all__ = [
    "FORMAT", "MAX_BYTES", "Differences", "RecipeError", "Repetition", "read_recipe", "recipe", "recipe_json",
    "record_json", "repeat",
]
