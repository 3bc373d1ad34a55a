using Flotilla.Shards.Bench;

// Measures what exactly-once costs at apply, images of the whole state, and handoffs; docs/sessions.md, image.md and handoff.md
// quote what this prints. Usage: dotnet run -c Release --project bench/Flotilla.Shards.Bench [-- RECORDS [handoff]]
var records = args.Length > 0 ? int.Parse(args[0]) : 1_000_000;

Console.WriteLine($"{Environment.ProcessorCount} cores, .NET {Environment.Version}");
if (args.Length < 2)
{
    // A small round first, so that the measured one runs compiled code.
    Bench.Images(50_000, sessions: 100, keys: 1000, print: false);
    Bench.Apply(20_000, print: false);

    Bench.Apply(500_000, print: true);
    Bench.Images(records, sessions: 10, keys: 0, print: true);
    Bench.Images(records, sessions: 10_000, keys: 300_000, print: true);
}

HandoffBench.Move(30_000, slots: 2048, print: false);
HandoffBench.Move(records, slots: 1024, print: true);
HandoffBench.Move(records, slots: 8192, print: true);
