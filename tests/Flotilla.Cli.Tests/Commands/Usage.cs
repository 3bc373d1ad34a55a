using Flotilla.Cli.Commands;
using Flotilla.Cli.Tests.Fakes;

namespace Flotilla.Cli.Tests.Commands;

/// <summary>Help, unknown words, and where settings come from.</summary>
public sealed class Usage
{
    [Theory]
    [InlineData("puut", "put")]
    [InlineData("stauts", "status")]
    [InlineData("restroe", "restore")]
    [InlineData("frobnicate", null)]
    public async Task An_unknown_command_is_a_usage_error_with_a_suggestion(string word, string? meant)
    {
        var result = await Terminal.RunAsync(word, "x");
        Assert.Equal(2, result.Exit);
        Assert.Contains($"no command '{word}'", result.Err, StringComparison.Ordinal);
        Assert.Equal(meant is not null, result.Err.Contains($"did you mean '{meant ?? "nothing"}'", StringComparison.Ordinal));
    }

    [Fact]
    public async Task No_command_at_all_shows_help_and_is_a_usage_error()
    {
        var result = await Terminal.RunAsync();
        Assert.Equal((2, ""), (result.Exit, result.Out));
        Assert.Contains("flotilla dev", result.Err, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_command_has_help_with_examples_and_no_example_is_wrong()
    {
        Assert.Equal(0, (await Terminal.RunAsync("--help")).Exit);
        foreach (var command in CommandList.Make())
        {
            var help = await Terminal.RunAsync(command.Name, "-h");
            Assert.Equal((0, ""), (help.Exit, help.Err));
            Assert.Contains("Examples:", help.Out, StringComparison.Ordinal);
            Assert.NotEmpty(command.Examples);
            Assert.All(command.Examples.Where((_, i) => i % 2 == 0), e => Assert.Contains("flotilla " + command.Name, e, StringComparison.Ordinal));
            Assert.All(command.Flags, f => Assert.False(string.IsNullOrWhiteSpace(f.Help)));
        }
    }

    [Fact]
    public async Task Every_command_and_every_flag_is_on_the_page_about_them()
    {
        var page = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "docs", "cli.md"), TestContext.Current.CancellationToken);
        foreach (var command in CommandList.Make())
        {
            Assert.Contains($"flotilla {command.Name}", page, StringComparison.Ordinal);
            Assert.All(command.Flags.Where(f => !f.Hidden), f => Assert.Matches($"`{f.Name}[ `]", page));
        }
    }

    [Fact]
    public async Task The_version_is_shown()
    {
        var result = await Terminal.RunAsync("--version");
        Assert.Equal(0, result.Exit);
        Assert.Matches("^flotilla [0-9]+\\.[0-9]+\\.[0-9]+\n$", result.Out);
    }

    [Fact]
    public async Task A_flag_beats_the_environment_and_the_environment_beats_the_file()
    {
        var file = Path.Combine(Terminal.TempDir(), "flotilla.json");
        await File.WriteAllTextAsync(file, """{ "shards": 4, "replicas": 5, "forward": false, "dataDir": "from-file", "mode": "raft", /* a comment */ "insecure": true }""", TestContext.Current.CancellationToken);
        string[] arguments = ["node", "--node-id", "A", "--http", "127.0.0.1:1", "--rpc", "127.0.0.1:2", "--config", file];
        var fromFile = (await Terminal.RunAsync(arguments)).Node!;
        Assert.Equal((4, 5, false, "from-file", true), (fromFile.Shards, fromFile.Replicas, fromFile.Forward, fromFile.DataDir, fromFile.Insecure));
        Env env = new() { ["FLOTILLA_SHARDS"] = "6", ["FLOTILLA_DATA_DIR"] = "from-env", ["FLOTILLA_INSECURE"] = "off" };
        var fromEnv = (await Terminal.RunAsync(arguments, env)).Node!;
        Assert.Equal((6, 5, "from-env", false), (fromEnv.Shards, fromEnv.Replicas, fromEnv.DataDir, fromEnv.Insecure));
        var fromFlag = (await Terminal.RunAsync([.. arguments, "--shards", "7", "--insecure"], env)).Node!;
        Assert.Equal((7, true), (fromFlag.Shards, fromFlag.Insecure));
        env["FLOTILLA_CONFIG"] = file;
        Assert.Equal(5, (await Terminal.RunAsync(arguments[..^2], env)).Node!.Replicas);
    }

    [Theory]
    [InlineData("""{ "shrads": 3 }""", "did you mean 'shards'")]
    [InlineData("""[1]""", "a JSON object")]
    [InlineData("""{ "shards": """, "is not JSON")]
    [InlineData("""{ "shards": {} }""", "needed as text")]
    [InlineData("""{ "shards": "many" }""", "\"shards\" in")]
    public async Task A_configuration_file_that_makes_no_sense_is_a_usage_error(string text, string said)
    {
        var file = Path.Combine(Terminal.TempDir(), "flotilla.json");
        await File.WriteAllTextAsync(file, text, TestContext.Current.CancellationToken);
        var result = await Terminal.RunAsync("node", "--node-id", "A", "--http", "127.0.0.1:1", "--rpc", "127.0.0.1:2", "--data-dir", "d", "--config", file);
        Assert.Equal(2, result.Exit);
        Assert.Contains(said, result.Err, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_wrong_value_is_told_with_where_it_came_from()
    {
        var result = await Terminal.RunAsync(["bench"], new() { ["FLOTILLA_CLIENTS"] = "many" });
        Assert.Equal(2, result.Exit);
        Assert.Contains("FLOTILLA_CLIENTS: a whole number from 1 to 4096 is needed, not 'many'", result.Err, StringComparison.Ordinal);
    }
}
