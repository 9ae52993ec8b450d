"""For readers, instructors and tests: is this gradient right, and where do two computations part?"""
