"""Train any method that has recipes: one loop; a recipe is data plus the few lines only that system has."""
