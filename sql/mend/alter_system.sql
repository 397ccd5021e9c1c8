alter system set {setting} = {value}
