using Flotilla.Shards.Bench;

// Measures what exactly-once costs at apply, and images of the whole state; docs/sessions.md and docs/image.md quote what
// this prints. Usage: dotnet run -c Release --project bench/Flotilla.Shards.Bench [-- RECORDS]
var records = args.Length > 0 ? int.Parse(args[0]) : 1_000_000;

// A small round first, so that the measured one runs compiled code.
Bench.Images(50_000, sessions: 100, keys: 1000, print: false);
Bench.Apply(20_000, print: false);

Console.WriteLine($"{Environment.ProcessorCount} cores, .NET {Environment.Version}");
Bench.Apply(500_000, print: true);
Bench.Images(records, sessions: 10, keys: 0, print: true);
Bench.Images(records, sessions: 10_000, keys: 300_000, print: true);
