"""The certificate of use: do the images of a student serve as its teacher's do?"""
