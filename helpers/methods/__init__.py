"""What it means: pure functions, tensors in and tensors out.

They import nothing of `helpers` but each other, so the folder can be copied into any project.
"""
