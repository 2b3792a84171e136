print("usl")
