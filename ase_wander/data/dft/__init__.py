"""Reference calculations: recipe, engines, labels."""
