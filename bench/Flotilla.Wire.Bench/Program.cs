using Flotilla.Wire.Bench;

// Usage: dotnet run -c Release --project bench/Flotilla.Wire.Bench [-- SECONDS]
// Both ends of the stream run in this process and share its cores.
var seconds = args.Length > 0 ? double.Parse(args[0], System.Globalization.CultureInfo.InvariantCulture) : 5;
var time = TimeSpan.FromSeconds(seconds);

Console.WriteLine($"{Environment.ProcessorCount} cores, .NET {Environment.Version}, {seconds} s each");
CodecBench.Run(time / 4);
await EchoBench.RunAsync("raw TCP", new TcpEcho(), time);
await EchoBench.RunAsync("duplex stream", new DuplexEcho(decode: false), time);
await EchoBench.RunAsync("duplex stream and codec", new DuplexEcho(decode: true), time);
await UnaryBench.RunAsync(time);
