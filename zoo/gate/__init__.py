"""Quality checks: is an image a whole, upright chest radiograph like those that a model was trained on?"""
