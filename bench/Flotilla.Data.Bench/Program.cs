using Flotilla.Data.Bench;

// Measures the tree beside a sorted dictionary; docs/data.md quotes what this prints.
// Usage: dotnet run -c Release --project bench/Flotilla.Data.Bench [-- RECORDS]
var records = args.Length > 0 ? int.Parse(args[0]) : 1_000_000;
var data = new Data(records, keyBytes: 16, valueBytes: 100, seed: 1);

// A small round first, so that the measured one runs compiled code.
var warm = new Data(50_000, 16, 100, seed: 2);
Bench.Run(new TreeStore(), warm);
Bench.Run(new DictionaryStore(), warm);
Bench.Snapshots(warm, print: false);

var tree = Bench.Run(new TreeStore(), data);
var dictionary = Bench.Run(new DictionaryStore(), data);

Console.WriteLine($"{records:N0} records of 16-byte keys and 100-byte values, in random order; per second of processor time; {Environment.ProcessorCount} cores, .NET {Environment.Version}");
Console.WriteLine();
Console.WriteLine($"{"",-34}{"BTree",14}{"SortedDictionary",18}{"ratio",8}");
for (var i = 0; i < tree.Count; i++)
{
    var (name, unit, value, higherIsBetter) = tree[i];
    var other = dictionary[i].Value;
    var ratio = higherIsBetter ? value / other : other / value;
    Console.WriteLine($"{name,-34}{value,14:N1}{other,18:N1}{ratio,8:N1}  {unit}");
}

Console.WriteLine();
Bench.Snapshots(data, print: true);
Bench.Load(data);
